package protocol

// Table lists the protocols in the order in which they are asked. A protocol is added by adding a
// file and a row.
var Table = []Protocol{
	HTTP1,
	Redis,
}
