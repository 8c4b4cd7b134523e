package namespace

import (
	"fmt"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lines tell where each namespace and its keys stand. "" is the namespace itself.
type lines struct {
	tables []map[string]int
	top    int // where they are written as one value
}

// linesOf reads a file that is known to be well-formed.
func linesOf(text string) (found lines) {
	var p unstable.Parser
	p.Reset([]byte(text))
	for p.NextExpression() {
		e := p.Expression()
		key := e.Key()
		if !key.Next() {
			continue
		}
		line := p.Shape(key.Node().Raw).Start.Line
		switch {
		case e.Kind == unstable.ArrayTable:
			found.tables = append(found.tables, map[string]int{"": line})
		case len(found.tables) == 0:
			found.top = line
		default:
			found.tables[len(found.tables)-1][string(key.Node().Data)] = line
		}
	}
	return found
}

// line is that of a key, else that of its namespace.
func (l lines) line(namespace int, key string) int {
	if namespace >= len(l.tables) {
		return l.top
	}
	if line := l.tables[namespace][key]; line > 0 {
		return line
	}
	return l.tables[namespace][""]
}

func (l lines) error(namespace int, key, name string, err error) error {
	if name != "" {
		err = fmt.Errorf("namespace %q: %w", name, err)
	}
	return fmt.Errorf("line %d: %s: %w", l.line(namespace, key), key, err)
}
