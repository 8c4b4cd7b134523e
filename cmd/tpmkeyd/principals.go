package main

import (
	"bufio"
	"log"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"time"
)

// principals tells who answers for a uid: the user whom /etc/subuid lends it to (subuid(5)). One user has 65,536 uids otherwise, each with quotas, turns and
// tries of its own.
type principals struct {
	path string
	log  *log.Logger

	mu      sync.Mutex
	changed time.Time // of the file, when it was read
	lent    []loan
}

// A loan is a range of uids and who answers for all of them.
type loan struct{ first, count, principal uint32 }

// of gives the principal of a uid.
func (p *principals) of(uid uint32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh()
	for _, l := range p.lent {
		if uid >= l.first && uid-l.first < l.count {
			return l.principal
		}
	}
	return uid
}

// refresh reads the file again when it has changed. Without a file nothing is lent; one that cannot be read leaves what was known.
func (p *principals) refresh() {
	info, err := os.Stat(p.path)
	if os.IsNotExist(err) {
		p.lent, p.changed = nil, time.Time{}
		return
	}
	if err != nil || info.ModTime().Equal(p.changed) {
		return
	}
	file, err := os.Open(p.path)
	if err != nil {
		p.log.Printf("whose uids are whose: %v", err)
		return
	}
	defer file.Close()
	var lent []loan
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if l, ok := parseLoan(lines.Text()); ok {
			lent = append(lent, l)
		}
	}
	if err := lines.Err(); err != nil {
		p.log.Printf("whose uids are whose: %s: %v", p.path, err)
		return
	}
	p.lent, p.changed = lent, info.ModTime()
}

// parseLoan reads "user:first:count"; the user is a name or a uid. What is no loan, comments among it, the kernel's own tools pass over too. A range of
// root's belongs to containers, who are not root: the range answers for itself.
func parseLoan(line string) (loan, bool) {
	fields := strings.Split(strings.TrimSpace(line), ":")
	if len(fields) != 3 {
		return loan{}, false
	}
	first, err1 := strconv.ParseUint(fields[1], 10, 32)
	count, err2 := strconv.ParseUint(fields[2], 10, 32)
	owner, ok := uidOf(fields[0])
	if err1 != nil || err2 != nil || !ok || first == 0 {
		return loan{}, false
	}
	if owner == 0 {
		owner = uint32(first)
	}
	return loan{uint32(first), uint32(count), owner}, true
}

func uidOf(name string) (uint32, bool) {
	if uid, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(uid), true
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err == nil
}
