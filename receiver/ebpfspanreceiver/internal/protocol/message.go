package protocol

// newMessage makes a message with room for four attributes: one allocation instead of two, for each
// message of each exchange.
func newMessage() *Message {
	m := new(struct {
		Message
		room [4]Attr
	})
	m.Attributes = m.room[:0]
	return &m.Message
}

// newLargeMessage has room for eight, as many as an HTTP request usually has.
func newLargeMessage() *Message {
	m := new(struct {
		Message
		room [8]Attr
	})
	m.Attributes = m.room[:0]
	return &m.Message
}
