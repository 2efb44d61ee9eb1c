package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// checksumming is the offloads that let a stack hand over packets with unfinished transport checksums.
var checksumming = []string{"tx-checksum-ip-generic", "tx-checksum-sctp"}

// segmentation is the offloads that let a stack hand over packets larger than the MTU (`ethtool -k`).
var segmentation = []string{
	"tx-tcp-segmentation",
	"tx-tcp-ecn-segmentation",
	"tx-tcp-mangleid-segmentation",
	"tx-tcp6-segmentation",
	"tx-tcp-accecn-segmentation",
	"tx-udp-segmentation",
	"tx-generic-segmentation",
}

// turnOff turns offloads of an interface of the calling thread's namespace off, as `ethtool -K` does: the message
// ETHTOOL_MSG_FEATURES_SET of the generic netlink family "ethtool" (ethtool_netlink.h), names as `ethtool -k` shows
// them. An offload that this kernel does not know is none to be turned off.
func turnOff(ifindex int, features []string) error {
	for _, name := range features {
		if err := setFeature(ifindex, name, false); err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return nil
}

func setFeature(ifindex int, name string, on bool) error {
	family, err := netlink.GenlFamilyGet(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		return fmt.Errorf("generic netlink family %s: %w", unix.ETHTOOL_GENL_NAME, err)
	}
	req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
	req.AddData(&nl.Genlmsg{Command: unix.ETHTOOL_MSG_FEATURES_SET, Version: unix.ETHTOOL_GENL_VERSION})

	header := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_HEADER|unix.NLA_F_NESTED, nil)
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(ifindex)))
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_FLAGS, nl.Uint32Attr(unix.ETHTOOL_FLAG_OMIT_REPLY))
	req.AddData(header)

	wanted := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
	bits := wanted.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
	bit := bits.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
	bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(name))
	if on {
		bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
	}
	req.AddData(wanted)
	if _, err := req.Execute(unix.NETLINK_GENERIC, 0); err != nil {
		return fmt.Errorf("set offload %s of interface %d to %v: %w", name, ifindex, on, err)
	}
	return nil
}
