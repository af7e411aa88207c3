package link

// Places where one call is captured, in the order in which its request passes them: DeepFlow's
// observation points, by the name in its tables and the one in its OTLP export.
const (
	// TapClientProcess and TapServerProcess are the two ends; what is between is the network.
	TapClientProcess = 1
	TapServerProcess = 12
)

var taps = map[string]uint8{
	"c-p": TapClientProcess, "Client Process": TapClientProcess,
	"c": 2, "Client NIC": 2,
	"c-nd": 3, "Client K8s Node": 3,
	"c-hv": 4, "Client VM Hypervisor": 4,
	"c-gw-hv": 5, "Client-side Gateway Hypervisor": 5,
	"c-gw": 6, "Client-side Gateway": 6,
	"s-gw": 7, "Server-side Gateway": 7,
	"s-gw-hv": 8, "Server-side Gateway Hypervisor": 8,
	"s-hv": 9, "Server VM Hypervisor": 9,
	"s-nd": 10, "Server K8s Node": 10,
	"s": 11, "Server NIC": 11,
	"s-p": TapServerProcess, "Server Process": TapServerProcess,
}

// Tap is the rank of a place by its name, 0 when there is no such place on the way of a request.
func Tap(name string) uint8 { return taps[name] }

// OnTheWire: a span of that place is neither the call nor what serves it.
func OnTheWire(tap uint8) bool { return tap > TapClientProcess && tap < TapServerProcess }
