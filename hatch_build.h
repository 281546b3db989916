/* Attributes and methods of objects, remembered where the code asks for them.

   An attribute with a place of its own in the object (`__slots__`, a struct of msgspec) is found by way of the object's
   type, the cache of all types' attributes, a descriptor, and what that describes: 150 instructions and four places in
   memory for one pointer, and a request reads a thousand of them. Python's interpreter remembers, at each instruction, in
   which version of a type the pointer was where (PEP 659: LOAD_ATTR_SLOT, STORE_ATTR_SLOT, LOAD_METHOD_NO_DICT). Cython 3.3
   does not: this does, for what it has written. A type that is changed has another version from then on, and an attribute
   that was never set is left to Python, which says so. So nothing means anything else than without.

   `hatch_build.py` puts this into what Cython has written of each module, and these macros in place of its functions. */

#include <structmember.h>

#if defined(__GNUC__) && !defined(Py_GIL_DISABLED) && !defined(PYPY_VERSION)

/* One place in the code. `version` is 0 as long as nothing is remembered: no type has that one. */
typedef struct {
    unsigned int version;
    unsigned int missed;
    Py_ssize_t offset; /* of the attribute, in the object */
    PyObject *method;  /* or the type's, which has it for as long as its version is this one */
} sluice_site;

typedef enum { SLUICE_READ, SLUICE_WRITE, SLUICE_INVOKE } sluice_purpose;

/* A place that meets ever other types learns no more: to learn takes longer than to ask. */
#define SLUICE_PATIENCE 64

__attribute__((noinline, cold)) static void
sluice_learn(sluice_site *site, PyTypeObject *type, PyObject *name, sluice_purpose purpose)
{
    PyObject *found;
    if (site->missed == SLUICE_PATIENCE)
        return;
    site->missed++;
    if (purpose == SLUICE_WRITE ? type->tp_setattro != PyObject_GenericSetAttr
                                : type->tp_getattro != PyObject_GenericGetAttr)
        return;
    /* Gives the type a version, if it has none and may have one. */
    found = _PyType_Lookup(type, name);
    if (found == NULL || type->tp_version_tag == 0)
        return;
#if PY_VERSION_HEX < 0x030D0000
    /* Later ones have no version where it is not valid. */
    if (!PyType_HasFeature(type, Py_TPFLAGS_VALID_VERSION_TAG))
        return;
#endif
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;
        if (member->type != T_OBJECT_EX || member->flags != 0 || !PyType_IsSubtype(type, PyDescr_TYPE(found)))
            return;
        site->offset = member->offset;
        site->method = NULL;
    }
    else if (purpose == SLUICE_INVOKE && PyType_HasFeature(Py_TYPE(found), Py_TPFLAGS_METHOD_DESCRIPTOR)
             && type->tp_dictoffset == 0) {
        /* An object that has a dictionary may have something else of this name in it. */
        site->method = found;
    }
    else {
        return;
    }
    site->version = type->tp_version_tag;
}

static inline int
sluice_knows(const sluice_site *site, const PyTypeObject *type)
{
    return __builtin_expect(type->tp_version_tag == site->version && site->version != 0, 1);
}

static inline PyObject **
sluice_place(const sluice_site *site, PyObject *object)
{
    return (PyObject **)((char *)object + site->offset);
}

static inline PyObject *
sluice_read(PyObject *object, PyObject *name, sluice_site *site)
{
    PyTypeObject *type = Py_TYPE(object);
    if (sluice_knows(site, type)) {
        PyObject *value = *sluice_place(site, object);
        if (__builtin_expect(value != NULL, 1)) {
            Py_INCREF(value);
            return value;
        }
    }
    else {
        sluice_learn(site, type, name, SLUICE_READ);
    }
    return type->tp_getattro != NULL ? type->tp_getattro(object, name) : PyObject_GetAttr(object, name);
}

static inline int
sluice_write(PyObject *object, PyObject *name, PyObject *value, sluice_site *site)
{
    PyTypeObject *type = Py_TYPE(object);
    if (sluice_knows(site, type) && value != NULL) {
        PyObject **place = sluice_place(site, object), *former = *place;
        Py_INCREF(value);
        *place = value;
        /* Last: it may run anything. */
        Py_XDECREF(former);
        return 0;
    }
    sluice_learn(site, type, name, SLUICE_WRITE);
    return PyObject_SetAttr(object, name, value);
}

/* `args[0]` is the object; what is called may change `args[-1]` if `nargsf` says so, as with PyObject_VectorcallMethod. */
static inline PyObject *
sluice_invoke(PyObject *name, PyObject *const *args, size_t nargsf, sluice_site *site)
{
    PyTypeObject *type = Py_TYPE(args[0]);
    if (sluice_knows(site, type)) {
        PyObject *callee = site->method, *result;
        size_t count = (size_t)PyVectorcall_NARGS(nargsf);
        if (callee == NULL) {
            callee = *sluice_place(site, args[0]);
            /* The object is no argument then, and its place is free. */
            args++;
            count = (count - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET;
        }
        if (__builtin_expect(callee != NULL, 1)) {
            Py_INCREF(callee);
            result = PyObject_Vectorcall(callee, args, count, NULL);
            Py_DECREF(callee);
            return result;
        }
        args--;
    }
    else {
        sluice_learn(site, type, name, SLUICE_INVOKE);
    }
    return PyObject_VectorcallMethod(name, args, nargsf, NULL);
}

#define SLUICE_HERE(call) ({ static sluice_site here; call; })
#define SLUICE_READ_ATTRIBUTE(object, name) SLUICE_HERE(sluice_read((object), (name), &here))
#define SLUICE_WRITE_ATTRIBUTE(object, name, value) SLUICE_HERE(sluice_write((object), (name), (value), &here))
#define SLUICE_INVOKE_METHOD(name, args, nargsf) SLUICE_HERE(sluice_invoke((name), (args), (nargsf), &here))

#else

#define SLUICE_READ_ATTRIBUTE(object, name) PyObject_GetAttr((object), (name))
#define SLUICE_WRITE_ATTRIBUTE(object, name, value) PyObject_SetAttr((object), (name), (value))
#define SLUICE_INVOKE_METHOD(name, args, nargsf) PyObject_VectorcallMethod((name), (args), (nargsf), NULL)

#endif
