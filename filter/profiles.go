package filter

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed profiles/*.profile
var builtin embed.FS

// names are the built-in profiles, from the narrowest to the widest.
var names = []string{"use", "rsa", "rsa+ecc", "rsa+import", "migrate", "attest", "orchestrate", "tss", "all"}

// Names lists the built-in profiles.
func Names() []string { return slices.Clone(names) }

// Default is the profile rsa: create, load and use RSA keys, harm nobody.
func Default() *Filter { return defaultFilter() }

var defaultFilter = sync.OnceValue(func() *Filter {
	f, err := Named("rsa")
	if err != nil {
		panic(err) // a test reads every built-in profile
	}
	return f
})

// Named gives a built-in profile.
func Named(name string) (*Filter, error) {
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%q is none of the profiles: %s", name, strings.Join(names, ", "))
	}
	loaded.mu.Lock()
	f := loaded.filters[name]
	loaded.mu.Unlock()
	if f != nil {
		return f, nil
	}
	text, err := builtin.ReadFile("profiles/" + name + ".profile")
	if err != nil {
		return nil, err
	}
	if f, err = Parse(string(text)); err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	loaded.mu.Lock()
	defer loaded.mu.Unlock()
	loaded.filters[name] = f
	return f, nil
}

// loaded are the built-in profiles that were read before.
var loaded = struct {
	mu      sync.Mutex
	filters map[string]*Filter
}{filters: map[string]*Filter{}}
