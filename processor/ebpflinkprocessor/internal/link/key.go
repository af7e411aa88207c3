package link

import (
	"encoding/binary"
	"math/bits"
	"math/rand/v2"

	"github.com/cespare/xxhash/v2"
)

// Key is a hash of a domain and the fields of a key. A rule compares the fields themselves, so a
// collision costs time and never makes a link. Its lowest bits are the domain.
type Key uint64

func (k Key) domain() domain { return domain(k % (1 << domainBits)) }

// seed keeps the hash unpredictable: nobody outside can choose ids that fill one bucket.
var seed = rand.Uint64()

// domain separates the key spaces of the rules.
type domain uint64

const domainBits = 5

const (
	domainSpan domain = iota + 1
	domainCarried
	domainSeqPair
	domainSeqPorts
	domainSeqContext
	domainSystrace
	domainPseudo
	domainRequestIDIn
	domainRequestID
	domainTiming
	domainTap
	domainChain
	domainLed
	domainIdentity
	domainProcess
	domainInstance
	domainSite
	domainRawSpan
	domainSeq
)

// bases are where the hash of each domain begins.
var bases = func() (b [1 << domainBits]uint64) {
	for d := range b {
		b[d] = mix(seed ^ uint64(d)*0x9e3779b97f4a7c15)
	}
	return b
}()

func (d domain) key(a, b, c uint64) Key {
	h := mix(bases[d] ^ a)
	h = mix(h ^ b)
	return Key(mix(h^c)<<domainBits) | Key(d)
}

// key1 and key2 are for keys of fewer words.
func (d domain) key1(a uint64) Key { return Key(mix(bases[d]^a)<<domainBits) | Key(d) }

func (d domain) key2(a, b uint64) Key {
	return Key(fold(fold(bases[d]^a, factor^b), factor)<<domainBits) | Key(d)
}

// factor is odd, and as secret as the bases.
var factor = mix(seed) | 1

// fold multiplies and folds the upper half of the product onto the lower one. Twice, with numbers that are secret, it is
// a hash of two words in less than half the time that mix takes. Once, it leaves what is counted up in clusters.
func fold(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// mix is a bijection with good avalanche: two rounds of xor-shift and odd multiplication.
func mix(x uint64) uint64 {
	x ^= x >> 31
	x *= 0x7fb5d329728ea185
	x ^= x >> 27
	x *= 0x81dadef4bc2dd44d
	return x ^ x>>33
}

func idKey(d domain, t TraceID, s SpanID) Key {
	return d.key(binary.LittleEndian.Uint64(t[:8]), binary.LittleEndian.Uint64(t[8:]), binary.LittleEndian.Uint64(s[:]))
}

// HostKey hashes a host.id; an empty one gives 0, unknown.
func HostKey(id string) uint64 {
	if id == "" {
		return 0
	}
	if h := xxhash.Sum64String(id); h != 0 {
		return h
	}
	return 1
}

// ServiceKey hashes a service.name; an empty one gives 0, unknown.
func ServiceKey(name string) uint32 {
	if name == "" {
		return 0
	}
	return max(1, uint32(xxhash.Sum64String(name)))
}

func endpoint(addr [16]byte, valid bool, port uint16) Endpoint {
	e := Endpoint{Port: port}
	if valid {
		e.Addr = max(1, uint32(xxhash.Sum64(addr[:])))
	}
	return e
}
