# A repository as created by flux bootstrap, as far as the guide needs it, and its remote.
cat >flux-system/gotk-sync.yaml <<'YAML'
apiVersion: v1
kind: ConfigMap
metadata: {name: any, namespace: flux-system}
YAML
git init -q --bare -b main ../origin.git
git init -q -b main
git remote add origin ../origin.git
git add flux-system/gotk-components.yaml
git commit -q -m Bootstrap
git push -q -u origin main
