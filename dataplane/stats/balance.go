package stats

// The counters of a virtual service, by offset. The director counts what comes in, the agents count what goes out.
const (
	ServiceIn          = 0              // traffic sent on to the servers
	ServiceOut         = TrafficLen     // traffic of the servers' replies
	ServiceConnections = 2 * TrafficLen // flows that were given to a server
	ServiceGuard       = ServiceConnections + 1
	ServiceNoServer    = ServiceGuard + 1 // packets without usable server
	ServiceMoved       = ServiceNoServer + 1
	ServiceLen         = ServiceMoved + 1
)

// The counters of a real server, by offset.
const (
	ServerIn          = 0          // traffic sent on to the server
	ServerOut         = TrafficLen // traffic of its replies
	ServerConnections = 2 * TrafficLen
	ServerMoved       = ServerConnections + 1
	ServerLen         = ServerMoved + 1
)

// The number of virtual services and of real servers that have counters at the start.
const (
	Services = 64
	Servers  = 256
)

// Service is the value of a virtual service's counters.
type Service struct {
	In, Out     Traffic
	Connections uint64 // flows that were given to a server, with an entry in the flow table or without
	Guard       uint64 // flows without entry, since more new flows came than the guard lets into the table
	NoServer    uint64 // packets without usable server
	Moved       uint64 // flows that lost their server and were given to another
}

// Server is the value of a real server's counters.
type Server struct {
	In, Out     Traffic
	Connections uint64 // flows that were given to the server
	Moved       uint64 // flows that the server lost to another
}

// Service returns the published counters of the service with index i.
func (b *Block) Service(i int) Service {
	i *= ServiceLen
	return Service{
		In: b.Traffic(i + ServiceIn), Out: b.Traffic(i + ServiceOut), Connections: b.Load(i + ServiceConnections),
		Guard: b.Load(i + ServiceGuard), NoServer: b.Load(i + ServiceNoServer), Moved: b.Load(i + ServiceMoved),
	}
}

// Server returns the published counters of the real server with index i.
func (b *Block) Server(i int) Server {
	i *= ServerLen
	return Server{
		In: b.Traffic(i + ServerIn), Out: b.Traffic(i + ServerOut),
		Connections: b.Load(i + ServerConnections), Moved: b.Load(i + ServerMoved),
	}
}

// Plus returns the sum of two values.
func (s Service) Plus(u Service) Service {
	return Service{
		s.In.Plus(u.In), s.Out.Plus(u.Out), s.Connections + u.Connections,
		s.Guard + u.Guard, s.NoServer + u.NoServer, s.Moved + u.Moved,
	}
}

// Plus returns the sum of two values.
func (s Server) Plus(u Server) Server {
	return Server{s.In.Plus(u.In), s.Out.Plus(u.Out), s.Connections + u.Connections, s.Moved + u.Moved}
}
