# What the machine of a page has before the first command of it, and the names that pages use.
exec </dev/null
unset SCRIPT
umask 022
mkdir -p /run/sshd /srv/you/.ssh "$HOME/.ssh"
chmod 700 /srv/you/.ssh "$HOME/.ssh"

# Pages are written for somebody who is not root.
cat >/usr/local/bin/sudo <<'END'
#!/bin/bash
user=root
if [ "$1" = -u ]; then user=$2; shift 2; fi
exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env SUDO_USER=root HOME="$(getent passwd "$user" | cut -d : -f 6)" "$@"
END

# The machine's TPM is the emulated one.
cat >/usr/local/sbin/tpmkeyd <<'END'
#!/bin/bash
[ "${1-}" != -device ] || shift 2
exec /usr/sbin/tpmkeyd -device "$CHIP" "$@" 2>>/var/log/tpmkeyd.log
END

# No systemd runs there. What it would do to these services is done by hand.
cat >/usr/local/bin/systemctl <<'END'
#!/bin/bash
[ "$1" = reload ] || { echo "no systemd does: $*" >&2; exit 1; }
case $2 in
ssh)
	/usr/sbin/sshd -t
	pkill -o -x sshd
	while pgrep -x sshd >/dev/null; do sleep 0.05; done
	exec /usr/sbin/sshd -E /var/log/sshd.log
	;;
tpmkeyd)
	before=$(grep -c SIGHUP /var/log/tpmkeyd.log)
	pkill -HUP -o -x tpmkeyd
	until [ "$(grep -c SIGHUP /var/log/tpmkeyd.log)" -gt "$before" ]; do sleep 0.05; done
	;;
*) exit 1 ;;
esac
END

# It was built before.
cat >/usr/local/bin/make <<'END'
#!/bin/bash
case $1 in
build) exec test -f "$SOURCE/build/tpmkey-pkcs11.so" ;;
*) exec /usr/bin/make -s -C "$SOURCE" GO=false PREFIX=/usr "$@" ;;
esac
END
chmod 755 /usr/local/bin/sudo /usr/local/bin/systemctl /usr/local/sbin/tpmkeyd /usr/local/bin/make

# await waits until the server that a line has started takes connections, or has ended.
await() {
	local port=
	case $1 in
	*tpmkeyd*) until grep -qs serving /var/log/tpmkeyd.log; do running "$1"; done; return ;;
	esac
	[[ $1 =~ [^0-9](22|443|[0-9]{4,5})([^0-9]|$) ]] || return 0
	port=$(printf ':%04X 0*:0000 0A ' "${BASH_REMATCH[1]}")
	until grep -qsE "$port" /proc/net/tcp /proc/net/tcp6; do running "$1"; done
}
running() {
	kill -0 $! 2>/dev/null || { echo "ended at its start: $1"; exit 1; }
	sleep 0.05
}

# Another machine, "host", where the user had another key before. For root it is one that has a TPM too, "there".
if [ "${SSHD-}" ]; then
	echo you:x:1000:1000::/srv/you:/bin/bash >>/etc/passwd
	echo you:x:1000: >>/etc/group
	echo 'you:*:19000::::::' >>/etc/shadow
	echo '127.0.0.1 host there localhost' >/etc/hosts
	rm -f /etc/ssh/ssh_host_*
	ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
	echo "host,there $(cat /etc/ssh/ssh_host_ed25519_key.pub)" >/etc/ssh/ssh_known_hosts
	ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519
	cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
	cp ~/.ssh/id_ed25519.pub /srv/you/.ssh/authorized_keys
	chown -R you:you /srv/you
	printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'ListenAddress 127.0.0.1' 'UsePAM no' >/etc/ssh/sshd_config
	[ ! "${THERE-}" ] || printf '%s\n' 'Match User root' 'SetEnv TPMKEY_DEVICE=broker:/run/there/tpms.sock XDG_DATA_HOME=/srv/there' >>/etc/ssh/sshd_config
	/usr/sbin/sshd -E /var/log/sshd.log
fi

# What make install puts there is there, but for FROM=nothing, and the service runs, but for that and FROM=installed.
if [ ! "${FROM-}" ]; then
	tpmkeyd ${FILTER:+-filter "$FILTER"} &
	await tpmkeyd
fi
if [ "${THERE-}" ]; then
	"$SOURCE/build/tpmkey-sim" -listen /run/there.chip >/var/log/chip.log 2>&1 &
	until grep -qs listening /var/log/chip.log; do running tpmkey-sim; done
	/usr/sbin/tpmkeyd -device unix:/run/there.chip -listen /run/there/tpms.sock -state /run/there/state -filter "$FILTER" 2>/var/log/there.log &
	until grep -qs serving /var/log/there.log; do running tpmkeyd; done
fi
