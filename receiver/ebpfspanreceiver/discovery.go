package ebpfspanreceiver

import (
	"errors"
	"fmt"

	"github.com/otelcol-ebpf/otelcol-ebpf/receiver/ebpfspanreceiver/internal/process"
)

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
