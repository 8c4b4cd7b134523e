package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tpmkey.example/rm"
	"tpmkey.example/rm/device"
)

// anyChip is the first chip there is.
const anyChip = -1

// chips are the TPMs of the machine by their numbers. Each has a manager of its own, which is made when somebody first wants it, and stays: a chip that is
// unplugged fails the commands of its clients, and comes back under its number.
type chips struct {
	specs    []string                                // that -device names, from chip 0 on
	named    []rm.Config                             // of these; none: every /dev/tpm<n> of the machine
	dir      string                                  // where those are
	chip     func(spec string) (rm.Config, error)    // device.Chip
	complete func(int, rm.Config) (rm.Config, error) // adds to a chip's what we know of clients, and what is kept
	owner    func(uid uint32) uint32                 // who answers for a uid; nil: everybody is his own
	left     func(chips []int)                       // told in the end on which chips nothing of ours is; nil: nobody is
	own      sync.Map                                // numbers of the virtual TPMs that we serve: no chips

	mu       sync.Mutex
	managers map[int]*rm.Manager
	closed   bool
}

// openChips opens the chips with some specs; without any, those of the machine are opened when they are used.
func openChips(specs []string) (*chips, error) {
	c := &chips{specs: specs, dir: "/dev", chip: device.Chip}
	for _, spec := range specs {
		config, err := device.OpenChip(spec)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(spec, "/dev/") {
			return nil, fmt.Errorf("%w; see whether the firmware has a TPM switched on, or leave -device out: then each chip is served when it comes", err)
		} else if err != nil {
			return nil, err
		}
		c.named = append(c.named, config)
	}
	return c, nil
}

// principal is who answers for a uid. That never makes root of somebody else.
func (c *chips) principal(uid uint32) uint32 {
	if c.owner == nil || uid == 0 {
		return uid
	}
	if owner := c.owner(uid); owner != 0 {
		return owner
	}
	return uid
}

// A place is a space on one of the chips.
type place struct {
	*rm.Space
	chip int // its number
}

// open gives a caller's client a place on the chip that it was granted.
func (c *chips) open(g grant, o rm.Options) (*place, error) {
	number, m, err := c.manager(g.chip)
	if err != nil {
		return nil, err
	}
	o.Filter, o.Locality, o.Limits = g.filter, g.locality, g.limits
	space, err := m.Open(o)
	if err != nil {
		return nil, err
	}
	return &place{space, number}, nil
}

// mayOpen tells whether a caller would get a space.
func (c *chips) mayOpen(g grant) error {
	space, err := c.open(g, rm.Options{})
	if err != nil {
		return err
	}
	return space.Close()
}

// manager gives that of a chip, whose number may be left open.
func (c *chips) manager(number int) (int, *rm.Manager, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, nil, rm.ErrClosed
	}
	number, err := c.find(number)
	if err != nil {
		return 0, nil, err
	}
	if m := c.managers[number]; m != nil {
		return number, m, nil
	}
	config, err := c.config(number)
	if err != nil {
		return 0, nil, err
	}
	m := rm.New(config)
	if c.managers == nil {
		c.managers = map[int]*rm.Manager{}
	}
	c.managers[number] = m
	return number, m, nil
}

// config is how a chip is opened and what its manager is told. The caller holds the lock.
func (c *chips) config(number int) (rm.Config, error) {
	var config rm.Config
	var err error
	if len(c.named) > 0 {
		config = c.named[number]
	} else if config, err = c.chip(c.path(number)); err != nil {
		return config, err
	}
	config.PrincipalOf = c.owner
	if c.complete == nil {
		return config, nil
	}
	return c.complete(number, config)
}

// find makes sure that there is such a chip.
func (c *chips) find(number int) (int, error) {
	if c.has(max(number, 0)) {
		return max(number, 0), nil
	}
	there := c.numbers()
	switch {
	case len(there) == 0:
		return 0, fmt.Errorf("there is no TPM, and no %s; see whether the firmware has one switched on", c.path(0))
	case number == anyChip:
		return there[0], nil
	}
	return 0, fmt.Errorf("there is no chip %d; there are: %s", number, strings.Trim(fmt.Sprint(there), "[]"))
}

func (c *chips) has(number int) bool {
	if len(c.named) > 0 {
		return number < len(c.named)
	}
	_, own := c.own.Load(number)
	_, err := os.Lstat(c.path(number))
	return err == nil && !own
}

// numbers are those of the chips that are there now.
func (c *chips) numbers() (numbers []int) {
	for i := range c.named {
		numbers = append(numbers, i)
	}
	if len(numbers) > 0 {
		return numbers
	}
	entries, _ := os.ReadDir(c.dir) // without a directory there are none
	for _, entry := range entries {
		n, err := strconv.ParseUint(strings.TrimPrefix(entry.Name(), "tpm"), 10, 16)
		if err == nil && entry.Name() == filepath.Base(c.path(int(n))) && c.has(int(n)) {
			numbers = append(numbers, int(n))
		}
	}
	slices.Sort(numbers)
	return numbers
}

// path is that of a kernel's device.
func (c *chips) path(number int) string { return filepath.Join(c.dir, fmt.Sprintf("tpm%d", number)) }

// prepare makes the managers of the chips that are there, to find out early what is wrong with what was kept for them. It sends nothing.
func (c *chips) prepare() error {
	for _, number := range c.numbers() {
		if _, _, err := c.manager(number); err != nil {
			return err
		}
	}
	return nil
}

// probe opens and closes the machine's own chips, and says of those that cannot be used why not. It is an error when none can, unless there is none yet.
func (c *chips) probe(l *log.Logger) error {
	numbers := c.numbers()
	var failed []error
	for _, number := range numbers {
		if err := c.try(number); err != nil {
			failed = append(failed, fmt.Errorf("chip %d: %w", number, err))
		}
	}
	switch {
	case len(numbers) == 0:
		l.Printf("there is no TPM yet: no %s; see whether the firmware has one switched on", c.path(0))
	case len(failed) == len(numbers):
		return errors.Join(failed...)
	}
	for _, err := range failed {
		l.Print(err)
	}
	return nil
}

func (c *chips) try(number int) error {
	config, err := c.chip(c.path(number))
	if err != nil {
		return err
	}
	chip, err := config.Open()
	if err != nil {
		return err
	}
	return chip.Close()
}

// String is what the log calls them.
func (c *chips) String() string {
	if len(c.specs) > 0 {
		return strings.Join(c.specs, ", ")
	}
	return "every " + filepath.Join(c.dir, "tpm<n>")
}

// atRest tells whether all managers could be closed and made again without anybody noticing.
func (c *chips) atRest() bool {
	return !slices.ContainsFunc(c.all(), func(m *rm.Manager) bool { return !m.AtRest() })
}

// pardon releases the principals whom the lockout budget of some chip refuses.
func (c *chips) pardon() (principals []uint32) {
	c.prepare() // what is wrong with a chip's memory is said to whoever wants the chip
	for _, m := range c.all() {
		principals = append(principals, m.Pardon()...)
	}
	slices.Sort(principals)
	return slices.Compact(principals)
}

func (c *chips) all() []*rm.Manager {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.managers))
}

// close leaves nothing of ours on any chip, and tells of which chips that is certain.
func (c *chips) close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	managers := maps.Clone(c.managers)
	c.mu.Unlock()
	var closing sync.WaitGroup
	var mu sync.Mutex
	var failed []error
	var clean []int
	for number, m := range managers {
		closing.Go(func() {
			err := m.Close()
			mu.Lock()
			defer mu.Unlock()
			if failed = append(failed, err); err == nil {
				clean = append(clean, number)
			}
		})
	}
	closing.Wait()
	if !closed && c.left != nil {
		c.left(clean)
	}
	return errors.Join(failed...)
}
