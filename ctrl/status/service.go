package status

// ServiceTable is the table by which a virtual service chooses servers: entry h mod the number of entries, for the hash
// h of a packet, is the position of the server's name in Servers (PROTOCOL.md#balancer).
type ServiceTable struct {
	Servers []string `json:"servers"` // that new flows may use now
	Entries []uint16 `json:"entries"`
}
