package prompt

// Ways names the ways there are to ask a person now, the first of which is taken.
func Ways() (names []string) { return newAsker().ways() }

func (a *asker) ways() (names []string) {
	for _, w := range ways {
		if w.available(a) {
			names = append(names, w.name)
		}
	}
	return names
}
