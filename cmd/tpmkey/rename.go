package main

const renameDetails = `
OLD.pem, OLD.pub and OLD.crt are named anew together, and never over another key's.
The label follows when it was the old name; the id stays. Programs and configurations
that name the key have to be told. If it is killed half-way, the key can be used under
one of the names or both: the same command again finishes the work.
`

func runRename(t *tool, args []string) error {
	if len(args) != 2 {
		return usageError("it takes two names: the old one and the new one")
	}
	keys := t.open()
	k, err := keys.Key(args[0])
	if err != nil {
		return err
	}
	renamed, err := keys.Rename(k, args[1])
	if err != nil {
		return err
	}
	t.say("key %q is called %q now", k.Name(), renamed.Name())
	return nil
}
