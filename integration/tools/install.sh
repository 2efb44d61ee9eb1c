#!/bin/sh
# install.sh PACKAGE... installs Debian packages whose programs the tests call, and starts, enables and stops no service.
# install.sh --unpack DIR PACKAGE... unpacks packages into DIR and installs only the libraries that they link with.
#
# The packages' own scripts find invoke-rc.d, deb-systemd-invoke, deb-systemd-helper and update-rc.d through PATH. For
# this call of apt PATH begins with a directory of others, which do nothing for packages that were not there before.
# A policy-rc.d of the machine is neither needed nor touched.
set -eu

unpack=
if [ "${1:-}" = --unpack ]; then unpack=$2; shift 2; fi
[ $# -gt 0 ] || { echo "usage: install.sh [--unpack DIR] PACKAGE..." >&2; exit 2; }
export DEBIAN_FRONTEND=noninteractive

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
chmod 755 "$work"
mkdir "$work/bin"
dpkg-query -W -f '${Package}\n' > "$work/installed"

# of was there before: its services are what they were, and its scripts have the real programs.
of() { # name, what to do for a new package
	cat > "$work/bin/$1" <<END
#!/bin/sh
if grep -qxF -- "\${DPKG_MAINTSCRIPT_PACKAGE:-}" "$work/installed"; then
	PATH=/usr/sbin:/usr/bin:/sbin:/bin exec $1 "\$@"
fi
$2
END
	chmod 755 "$work/bin/$1"
}
real='PATH=/usr/sbin:/usr/bin:/sbin:/bin exec'
of invoke-rc.d 'exit 0'
of deb-systemd-invoke 'exit 0'
of deb-systemd-helper "case \" \$* \" in
*' was-enabled '*) exit 1 ;;
*' enable '*) exit 0 ;;
esac
$real deb-systemd-helper \"\$@\""
of update-rc.d "[ \"\${2:-}\" != defaults ] || { name=\$1; shift 2; set -- \"\$name\" defaults-disabled \"\$@\"; }
$real update-rc.d \"\$@\""

install() {
	apt-get -q -y -o DPkg::Path="$work/bin:/usr/sbin:/usr/bin:/sbin:/bin" install --no-install-recommends "$@"
}

apt-get -q update
if [ -z "$unpack" ]; then
	install "$@"
	exit
fi

# Libraries have no service.
libraries=$(apt-cache depends --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
	sed -n 's/^ *Depends: \(lib[^ ]*\)$/\1/p' | sort -u)
# shellcheck disable=SC2086 # a list
install $libraries
mkdir -p "$unpack"
for package in "$@"; do
	(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package")
	dpkg-deb -x "$work/$package"_*.deb "$unpack"
done
