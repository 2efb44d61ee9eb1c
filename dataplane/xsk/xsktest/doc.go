// Package xsktest is what the tests of the AF_XDP layer and of its users share: network namespaces with veth pairs,
// packet sockets at their ends, frames that can be told apart, and a check that no descriptor stays open. Only tests
// import it.
package xsktest
