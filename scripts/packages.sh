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

# Their programs are wanted, not their services: an sshd on port 22, a web server on
# port 80, and a manager that keeps the TPM to itself.
off() {
	package=$1
	shift
	case "$missing " in
	*" $package "*) ;;
	*) return 0 ;;
	esac
	if command -v systemctl >/dev/null && systemctl disable --now "$@"; then
		echo "$package was installed for its program; its service is off"
	else
		echo "$package was installed for its program; see to it that its service does not run: $*" >&2
	fi
}

off openssh-server ssh.service ssh.socket
off nginx nginx.service
off haproxy haproxy.service
off openvpn openvpn.service
off strongswan-charon strongswan-starter.service
off hostapd hostapd.service
off tpm2-abrmd tpm2-abrmd.service
