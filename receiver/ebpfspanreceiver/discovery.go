package ebpfspanreceiver

import (
	"errors"
	"fmt"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

// DiscoveryConfig says which processes are traced. Without include and all, those are that name
// themselves a service: process.DefaultRules.
type DiscoveryConfig struct {
	Include []SelectorConfig `mapstructure:"include"`
	Exclude []SelectorConfig `mapstructure:"exclude"`
	All     bool             `mapstructure:"all"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SelectorConfig names processes: every criterion that is given must hold, of its values any one.
type SelectorConfig struct {
	Exe  []string `mapstructure:"exe"`
	Env  []string `mapstructure:"env"`
	PIDs []int    `mapstructure:"pids"`
	// OpenPorts are numbers and texts such as "8000-8999".
	OpenPorts []any    `mapstructure:"open_ports"`
	CGroup    []string `mapstructure:"cgroup"`
	Container []string `mapstructure:"container"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// rules are what the configuration means, with every fault that it has.
func (c *DiscoveryConfig) rules() (process.Rules, error) {
	var errs []error
	selectors := func(place string, list []SelectorConfig) []process.Selector {
		var out []process.Selector
		for i, s := range list {
			sel := process.Selector{Exe: s.Exe, Env: s.Env, PIDs: s.PIDs, CGroup: s.CGroup, Container: s.Container}
			for j, p := range s.OpenPorts {
				r, err := process.ParsePort(p)
				if err != nil {
					errs = append(errs, fmt.Errorf("discovery.%s[%d].open_ports[%d]: %w", place, i, j, err))
					// keeps the selector from being called empty as well
					r = process.PortRange{First: 1, Last: 1}
				}
				sel.Ports = append(sel.Ports, r)
			}
			out = append(out, sel)
		}
		return out
	}
	rules := process.Rules{
		Include: selectors("include", c.Include), Exclude: selectors("exclude", c.Exclude), All: c.All,
	}
	if len(rules.Include) == 0 && !rules.All {
		rules.Include = process.DefaultRules().Include
	}
	return rules, errors.Join(append(errs, rules.Validate())...)
}
