# Tells how this guest configures its network; changes nothing. Output: lines "fact …" up to "end"; a file is a line
# "file MODE UID SIZE PATH" and SIZE octets.
LC_ALL=C; export LC_ALL
PATH=${PATH:+$PATH:}/usr/sbin:/usr/bin:/sbin:/bin
has() { for t do command -v "$t" >/dev/null 2>&1 && echo "tool $t"; done; }
dump() {
	most=$1; shift
	for p do
		[ -f "$p" ] || continue
		n=$(head -c "$most" "$p" | wc -c)
		echo "file $(stat -L -c '%a %u' "$p") $((n)) $p"
		head -c "$n" "$p"
		echo
	done
}
list() { for p do [ -e "$p" ] && echo "path $p"; done; }
has ip ifquery netplan NetworkManager nmcli restorecon
[ -x /lib/systemd/systemd-networkd ] || [ -x /usr/lib/systemd/systemd-networkd ] && echo "tool systemd-networkd"
if command -v NetworkManager >/dev/null 2>&1; then echo "nm $(NetworkManager --version 2>/dev/null | head -n 1)"; fi
if command -v nmcli >/dev/null 2>&1; then echo "nm $(nmcli --version 2>/dev/null | head -n 1)"; fi
uid=$(id -u systemd-network 2>/dev/null) && echo "user systemd-network $uid"
for s in all lo; do
	for k in arp_ignore arp_announce; do
		v=$(cat /proc/sys/net/ipv4/conf/$s/$k) && echo "sysctl $s.$k $v"
	done
done 2>/dev/null
list /etc /etc/network /etc/network/interfaces.d /etc/netplan /etc/systemd /etc/systemd/network /etc/NetworkManager \
	/etc/NetworkManager/system-connections /etc/sysconfig /etc/sysconfig/network-scripts /etc/sysctl.d \
	/run/NetworkManager /run/systemd/netif/state \
	/etc/systemd/system/multi-user.target.wants/systemd-networkd.service \
	/etc/network/interfaces /etc/netplan/*.yaml /run/netplan/*.yaml /lib/netplan/*.yaml /etc/systemd/network/*.network \
	/run/systemd/network/*.network /etc/sysconfig/network-scripts/ifcfg-* /etc/sysconfig/network-scripts/ifup \
	/etc/sysconfig/network-scripts/ifup-aliases /etc/init.d/network /etc/rc.d/init.d/network
list /etc/network/.penstock-*.new /etc/network/interfaces.d/.penstock-*.new /etc/netplan/.penstock-*.new \
	/etc/systemd/network/.penstock-*.new /etc/systemd/network/*.network.d/.penstock-*.new \
	/etc/NetworkManager/system-connections/.penstock-*.new /etc/sysconfig/network-scripts/.penstock-*.new \
	/etc/sysctl.d/.penstock-*.new
for f in /etc/systemd/network/*.network /run/systemd/network/*.network /usr/local/lib/systemd/network/*.network \
	/usr/lib/systemd/network/*.network /lib/systemd/network/*.network; do
	[ -f "$f" ] || continue
	list "/etc/systemd/network/${f##*/}.d"
	grep -Eqs '^[[:space:]]*Name[[:space:]]*=(.*[[:space:]])?lo([[:space:]]|$)' "$f" && echo "lo $f"
done
for f in /etc/NetworkManager/system-connections/*; do
	grep -Eqs '^[[:space:]]*type[[:space:]]*=[[:space:]]*loopback' "$f" && echo "lo $f"
done
grep -Eqs '^( {1,4}|[[:space:]]*network:.*[{,][[:space:]]*)renderer:[[:space:]]*"?NetworkManager' \
	/etc/netplan/*.yaml /run/netplan/*.yaml /lib/netplan/*.yaml && echo "renderer NetworkManager"
if [ -L /etc/network/interfaces ]; then echo "link /etc/network/interfaces $(readlink -f /etc/network/interfaces)"; fi
dump 131072 /etc/network/interfaces
dump 32768 /etc/network/interfaces.d/penstock* /etc/netplan/90-penstock.yaml /etc/systemd/network/05-penstock-lo.network \
	/etc/systemd/network/*.network.d/penstock.conf /etc/NetworkManager/system-connections/penstock-lo.nmconnection \
	/etc/sysctl.d/99-penstock.conf
dump 4096 /etc/sysconfig/network-scripts/ifcfg-lo:*
echo end
