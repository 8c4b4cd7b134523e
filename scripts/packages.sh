#!/bin/sh
# packages.sh NAME...: sees to it that Debian packages are installed. Root
# installs the missing ones; anybody else is told the one line that does.
set -eu

if ! command -v dpkg-query >/dev/null; then
	echo "packages.sh: not a Debian system; what these packages hold must be there: $*" >&2
	exit 0
fi

missing=
for name; do
	status=$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true)
	[ "$status" = installed ] || missing="$missing $name"
done
[ -n "$missing" ] || exit 0

update="apt-get update"
install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
	echo "packages are missing; this installs them: sudo $update && sudo $install" >&2
	exit 1
fi

echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$update -q
$install -q

# The tests and the demo start an sshd of their own on loopback. The package would
# also open port 22, which nobody asked for.
case "$missing " in
*" openssh-server "*)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now ssh.service ssh.socket || true
		echo "openssh-server was installed for its program; the service is off"
	fi
	;;
esac
