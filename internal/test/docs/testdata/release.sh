# A repository of the clone, with the heading of a release in the changelog.
git init -q --bare -b main ../upstream.git
git init -q -b main
git remote add origin ../upstream.git
git add .
git commit -q -m Begin
awk '{print} $0 == "## Unreleased" {print "\n## v1.0.0 - 2026-12-01"}' CHANGELOG.md >CHANGELOG.new
mv CHANGELOG.new CHANGELOG.md
