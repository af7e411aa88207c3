package ebpfspanreceiver

import (
	"errors"
	"fmt"
	"time"

	"github.com/otelcol-ebpf/otelcol-ebpf/internal/capability"
)

// threshold is the posterior that is needed, or 0.
func (c *StatisticalConfig) threshold() float64 {
	if !c.Enabled {
		return 0
	}
	return c.Posterior
}

// validateConfig reports every fault at once. It looks at the configuration only, never at the machine.
func validateConfig(c *Config) error {
	var errs []error
	count := func(key string, v, low, high int) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %d is out of range: %d to %d", key, v, low, high))
		}
	}
	between := func(key string, v, low, high time.Duration) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %s is out of range: %s to %s", key, v, low, high))
		}
	}
	count("payload_size", c.PayloadSize, 256, 8192)
	count("ring_buffer_size", c.RingBufferSize, 256<<10, 1<<30)
	count("max_connections", c.MaxConnections, 16, 1<<20)
	between("hold", c.Hold, 100*time.Millisecond, time.Minute)
	between("rescan_interval", c.RescanInterval, time.Second, 24*time.Hour)
	if c.PendingAfter != 0 {
		between("pending_after", c.PendingAfter, time.Second, time.Hour)
	}
	// NaN is out of every range.
	if p := c.Statistical.Posterior; !(p >= 0.95 && p <= 1) {
		errs = append(errs, fmt.Errorf("statistical::posterior: %v is out of range: 0.95 to 1", p))
	}
	_, err := c.keepCapabilities()
	errs = append(errs, err)
	_, err = c.Discovery.rules()
	return errors.Join(append(errs, err)...)
}

// keepCapabilities are those that other components need.
func (c *Config) keepCapabilities() (keep capability.Set, err error) {
	if len(c.KeepCapabilities) > 0 && !c.DropCapabilities {
		return 0, errors.New("keep_capabilities: all are kept while drop_capabilities is false: set only one of the two")
	}
	for _, name := range c.KeepCapabilities {
		one, err := capability.Named(name)
		if err != nil {
			return 0, fmt.Errorf("keep_capabilities: %q: %w: capabilities(7) has them, as CAP_NET_BIND_SERVICE", name, err)
		}
		keep |= one
	}
	return keep, nil
}
