// One chat by openai-node: `node ask.mjs BASE_URL TOKEN RETRIES`. Prints what came of it as JSON.
import OpenAI from "openai";

const [baseURL, apiKey, retries] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: Number(retries) });
const began = performance.now();
const told = {};
try {
  const { data, response } = await client.chat.completions
    .create({ model: "gpt-4o", messages: [{ role: "user", content: "Say something." }] })
    .withResponse();
  told.status = response.status;
  told.headers = Object.fromEntries(response.headers);
  told.tokens = data.usage.total_tokens;
} catch (error) {
  told.status = error.status;
  told.name = error.constructor.name;
  told.code = error.code;
  told.message = error.message;
  told.headers = error.headers instanceof Headers ? Object.fromEntries(error.headers) : error.headers;
}
told.seconds = (performance.now() - began) / 1000;
console.log(JSON.stringify(told));
