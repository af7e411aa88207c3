// Package plan says what the demo asks its services to do, and therefore what a correct trace of
// each request looks like. The services know nothing of it: they follow the paths they are called
// with. The only thing that travels with a request is its id inside the URL path, which is how the
// checker knows the truth without any trace header.
package plan

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// Service names, as OTEL_SERVICE_NAME gives them.
const (
	Frontend  = "frontend"
	Catalog   = "catalog"
	Inventory = "inventory"
	Pricing   = "pricing"
	Tax       = "tax"
	Redis     = "redis"
)

// Services are all of them, in the order in which they can be started: each needs only earlier ones.
var Services = []string{Redis, Tax, Pricing, Inventory, Catalog, Frontend}

// Kind is the span kind of one end of an exchange.
type Kind string

// The two ends of an exchange.
const (
	Server Kind = "SERVER"
	Client Kind = "CLIENT"
)

// Node is one span that a request must produce.
type Node struct {
	Service string
	Kind    Kind
	// Path is url.path of an HTTP span; empty for Redis.
	Path string
	// Op is the Redis command name; empty for HTTP.
	Op       string
	Children []*Node
}

// Request is one request of the load generator and the trace it must become.
type Request struct {
	ID string
	// Root is the SERVER span of the service that the load generator calls.
	Root *Node
}

// redisReads are commands with one key argument that answer without error for a string key or a
// missing one. Which of them a request uses follows from its id, so that a Redis span under the
// wrong request shows although its key is redacted.
var redisReads = []string{"GET", "STRLEN", "EXISTS", "TTL", "PTTL", "TYPE", "TOUCH", "DUMP"}

// RedisOp is the command that a request uses at position n (0 to 3): bits of the CRC-32 (IEEE) of
// its id. pricing.py computes the same.
func RedisOp(id string, n int) string {
	return redisReads[crc32.ChecksumIEEE([]byte(id))>>(8*uint(n)&31)&7]
}

// Checkout is the main request: frontend, which calls catalog twice in sequence and then pricing
// three times and inventory once at the same time.
func Checkout(id string) Request {
	front := http(Frontend, "/checkout/"+id)
	for _, op := range CatalogOps {
		item := call(front, Catalog, fmt.Sprintf("/item/%s/%s", id, op))
		call(item, Pricing, fmt.Sprintf("/price/%s/list-%s", id, op))
	}
	for _, op := range PriceOps {
		price(front, id, op)
	}
	stock(front, id)
	return Request{ID: id, Root: front}
}

// Price calls pricing directly.
func Price(id, op string) Request {
	root := http(Pricing, fmt.Sprintf("/price/%s/%s", id, op))
	priceWork(root, id, op)
	return Request{ID: id, Root: root}
}

// Stock calls inventory directly.
func Stock(id string) Request {
	root := http(Inventory, "/stock/"+id)
	stockWork(root, id)
	return Request{ID: id, Root: root}
}

// CatalogOps are the two lookups that frontend makes one after the other.
var CatalogOps = []string{"details", "related"}

// PriceOps are the three prices that frontend asks for at the same time: one calls tax from the
// serving thread, one calls Redis, one calls tax from a thread it starts for the purpose.
var PriceOps = []string{"taxed", "cached", "thread"}

func price(parent *Node, id, op string) {
	priceWork(call(parent, Pricing, fmt.Sprintf("/price/%s/%s", id, op)), id, op)
}

func priceWork(server *Node, id, op string) {
	switch op {
	case "taxed", "thread":
		call(server, Tax, fmt.Sprintf("/tax/%s/%s", id, op))
	case "cached":
		redis(server, RedisOp(id, 3))
	}
}

func stock(parent *Node, id string) { stockWork(call(parent, Inventory, "/stock/"+id), id) }

// stockWork: one command alone, then two in one write.
func stockWork(server *Node, id string) {
	for n := range 3 {
		redis(server, RedisOp(id, n))
	}
}

func http(service, path string) *Node { return &Node{Service: service, Kind: Server, Path: path} }

// call adds an HTTP call to a SERVER node and returns the called SERVER node.
func call(from *Node, service, path string) *Node {
	server := http(service, path)
	from.Children = append(from.Children,
		&Node{Service: from.Service, Kind: Client, Path: path, Children: []*Node{server}})
	return server
}

func redis(from *Node, op string) {
	from.Children = append(from.Children, &Node{
		Service: from.Service, Kind: Client, Op: op,
		Children: []*Node{{Service: Redis, Kind: Server, Op: op}},
	})
}

// Count is the number of spans below and including n.
func (n *Node) Count() int {
	total := 1
	for _, c := range n.Children {
		total += c.Count()
	}
	return total
}

// Path is what the load generator asks for.
func (r Request) Path() string { return r.Root.Path }

// Mix is the nth request of the load: of ten, eight are checkouts, one goes to pricing and one to
// inventory directly, over connections that are older than the collector.
func Mix(n int, id string) Request {
	switch n % 10 {
	case 4:
		return Price(id, PriceOps[n/10%len(PriceOps)])
	case 9:
		return Stock(id)
	}
	return Checkout(id)
}

// PathID is the request id inside a path, or "" when the path carries none.
func PathID(path string) string {
	parts := strings.SplitN(path, "/", 4)
	if len(parts) < 3 || parts[0] != "" {
		return ""
	}
	switch parts[1] {
	case "checkout", "item", "price", "stock", "tax":
		return parts[2]
	}
	return ""
}

// BackgroundPrefix starts the path of every call that no request caused.
const BackgroundPrefix = "/background/"
