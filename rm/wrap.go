package rm

import (
	"errors"
	"sync"

	"tpmkey.example/filter"
)

// everything is the filter that lets through what Linux's own manager does.
const everything = "all"

// Wrap puts a manager before a chip that has none: what comes out takes every command, but its handles are its own, and the chip's few slots are no concern of
// whoever uses it any more. The chip is opened already and stays open: it is emptied when nobody uses it for a while, and closed with what comes out. Whoever has
// the chip is root as far as the TPM is concerned, so nothing that protects it from others holds.
func Wrap(chip Chip) (Chip, error) {
	f, err := filter.Named(everything)
	if err != nil {
		return nil, err
	}
	w := &wrapped{chip: &lent{Chip: chip}}
	w.manager = New(Config{Sharing: Shared, Open: func() (Chip, error) { return w.chip, nil }})
	if w.Space, err = w.manager.Open(Options{UID: root, Filter: f}); err != nil {
		return nil, err
	}
	return w, nil
}

// A wrapped chip is the only client of its manager.
type wrapped struct {
	*Space
	manager *Manager
	chip    *lent
}

// Close leaves nothing of ours on the chip, and closes it.
func (w *wrapped) Close() error {
	return errors.Join(w.Space.Close(), w.manager.Close(), w.chip.end())
}

// A lent chip is not closed when a manager gives it back: nobody could open it again. A manager that closes it because it does not answer has no other way to
// say so; then it ends when its command does.
type lent struct {
	Chip
	once sync.Once
	err  error
}

func (l *lent) Close() error { return nil }

func (l *lent) end() error {
	l.once.Do(func() { l.err = l.Chip.Close() })
	return l.err
}
