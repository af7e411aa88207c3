package ebpfspanreceiver

import (
	"errors"
	"fmt"
	"time"
)

// Config of the receiver. README.md describes each option.
type Config struct {
	Discovery DiscoveryConfig `mapstructure:"discovery"`

	PayloadSize    int           `mapstructure:"payload_size"`
	RingBufferSize int           `mapstructure:"ring_buffer_size"`
	MaxConnections int           `mapstructure:"max_connections"`
	Hold           time.Duration `mapstructure:"hold"`
	PendingAfter   time.Duration `mapstructure:"pending_after"`
	RescanInterval time.Duration `mapstructure:"rescan_interval"`
	CaptureQuery   bool          `mapstructure:"capture_query"`
	RawArguments   bool          `mapstructure:"raw_arguments"`
	Explain        bool          `mapstructure:"explain"`

	Statistical StatisticalConfig `mapstructure:"statistical"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// StatisticalConfig of the fallback for calls of which nothing but their times is known.
type StatisticalConfig struct {
	Enabled   bool    `mapstructure:"enabled"`
	Posterior float64 `mapstructure:"posterior"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// threshold is the posterior that is needed, or 0.
func (c *StatisticalConfig) threshold() float64 {
	if !c.Enabled {
		return 0
	}
	return c.Posterior
}

func defaultConfig() *Config {
	return &Config{
		PayloadSize:    4096,
		RingBufferSize: 16 << 20,
		MaxConnections: 65536,
		Hold:           5 * time.Second,
		PendingAfter:   10 * time.Second,
		RescanInterval: time.Minute,
		Statistical:    StatisticalConfig{Posterior: 0.95},
	}
}

// Validate reports every fault at once. It looks at the configuration only, never at the machine.
func (c *Config) Validate() error {
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
	_, err := c.Discovery.rules()
	return errors.Join(append(errs, err)...)
}
