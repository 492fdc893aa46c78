package aws

// Proxy is the choice of a proxy; no address of real metadata can be bound to in a test.
var Proxy = proxy
