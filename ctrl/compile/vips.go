package compile

func (c *Compiler) vipStatus(key string) *Status { return present(c.state.VIPs, key) }

func (c *Compiler) serviceStatus(key string) *Status { return present(c.state.Services, key) }

func (c *Compiler) serverStatus(key string) *Status { return present(c.state.Servers, key) }

// present is the status of an object that is stored.
func present[T any](m map[string]T, key string) *Status {
	if _, ok := m[key]; !ok {
		return nil
	}
	return &Status{Live: true}
}
