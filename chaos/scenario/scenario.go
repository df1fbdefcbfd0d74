package scenario

import (
	"slices"
	"strings"
)

// Scenario is one kind of trouble.
type Scenario struct {
	Name string // group/name, or mixed
	Does string // in a line
	play func(*round) error
}

// List lists all scenarios, in the order in which they are played.
func List() []Scenario {
	return slices.Concat(services(), wires(), processes(), operators(), []Scenario{mixed})
}

// Find finds scenarios: one by its name, those of a group by the group's, or "all". None:
// there is no such name.
func Find(name string) (found []Scenario) {
	for _, s := range List() {
		group, _, _ := strings.Cut(s.Name, "/")
		if name == s.Name || name == group || name == "all" {
			found = append(found, s)
		}
	}
	return found
}
