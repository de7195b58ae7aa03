package register

// Payload is what the object of a register holds, for whoever looks at objects
// as they lie in a store: a checker, a tool. A writer goes by [Register.Read].
func Payload(object []byte) ([]byte, error) {
	c, err := decode(object)
	return c.payload, err
}
