#!/usr/bin/env bash
# Fetches PostgreSQL's own regression suite, of the version that is installed,
# from the archive that its packages came from, and builds its C functions.
# Prints the directory; does nothing if that is there already.
#   scripts/regress.sh        into $XENON_REGRESS_DIR, else a cache
# Nothing of it is part of xenon: cmd/xenon/e2e runs it against xenon up.
set -euo pipefail

pg_major=15
lib=/usr/lib/postgresql/$pg_major/lib

die() { printf '%s\n' "$*" >&2; exit 1; }

if [ -n "${XENON_REGRESS_DIR:-}" ]; then dir=$XENON_REGRESS_DIR
elif [ "$(id -u)" = 0 ]; then dir=/var/cache/xenon/regress-$pg_major
else dir=$HOME/.cache/xenon/regress-$pg_major
fi

version=$(dpkg-query -W -f '${Version}' "postgresql-$pg_major" 2>/dev/null) ||
	die "the regression suite is that of Debian's package postgresql-$pg_major, which is not installed (scripts/setup.sh check)"
if [ "$(cat "$dir/version" 2>/dev/null || true)" = "$version" ]; then
	echo "$dir"
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp"

# A list of sources of our own: the machine's may name none.
apt-get indextargets --format 'deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
	sort -u >"$tmp/sources.list"
mkdir -p "$tmp/lists/partial" "$tmp/cache/archives/partial"
own=(-o "Dir::Etc::sourcelist=$tmp/sources.list" -o Dir::Etc::sourceparts=/dev/null
	-o "Dir::State::lists=$tmp/lists" -o "Dir::Cache=$tmp/cache")
[ "$(id -u)" != 0 ] || own+=(-o APT::Sandbox::User=root)

echo "Will fetch the sources of postgresql-$pg_major $version, for its regression suite, into $dir" >&2
{
	apt-get "${own[@]}" update
	cd "$tmp"
	apt-get "${own[@]}" source --download-only "postgresql-$pg_major=$version"
	apt-get download "postgresql-server-dev-$pg_major=$version"
} >"$tmp/log" 2>&1 || {
	cat "$tmp/log" >&2
	die "the sources of postgresql-$pg_major $version could not be fetched: see above, or point XENON_REGRESS_DIR at src/test/regress of them, with regress.so, autoinc.so and refint.so built there and the package's version in a file named version"
}
tar -xf "$tmp"/*.orig.tar.* -C "$tmp" --wildcards '*/src/test/regress'
dpkg -x "$tmp"/postgresql-server-dev-*.deb "$tmp/dev"
suite=$(echo "$tmp"/*/src/test/regress)
gcc -O1 -fPIC -shared -I"$tmp/dev/usr/include/postgresql/$pg_major/server" -o "$suite/regress.so" "$suite/regress.c"
cp "$lib/autoinc.so" "$lib/refint.so" "$suite"
printf '%s\n' "$version" >"$suite/version"
chmod -R a+rX "$suite"

mkdir -p "${dir%/*}"
rm -rf "$dir"
cp -r "$suite" "$dir"
echo "$dir"
