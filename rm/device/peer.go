package device

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// explain adds to an error what the file's owner and mode have to do with it, and the way out: nobody should get the whole TPM who only wants keys.
func explain(path string, err error) error {
	var st unix.Stat_t
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w: another program holds it", err)
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("%w: what served it runs no more; start it again, or ask the administrator to", err)
	case !errors.Is(err, unix.EACCES) || unix.Stat(path, &st) != nil:
		return err
	}
	return fmt.Errorf("%w: it belongs to user %s and group %s with mode %04o (any user may use tpmkeyd instead: ask the administrator to start it)", err, userName(st.Uid), groupName(st.Gid), st.Mode&0o7777)
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

func groupName(gid uint32) string {
	id := strconv.FormatUint(uint64(gid), 10)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// brokerUser is the system user that tpmkeyd may run as.
const brokerUser = "tpmkey"

// checkPeer makes sure of who serves a broker's socket. A stranger could collect PINs.
func checkPeer(fd int, path string) error {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return err
	}
	if trusted(peer.Uid, uint32(os.Getuid()), path) {
		return nil
	}
	return fmt.Errorf("the server is user %s, who is neither root nor you; not trusted", userName(peer.Uid))
}

// trusted tells whether a client may talk to a server: root, the client's own user, or the tpmkey system user with the socket in a directory that only
// root can change.
func trusted(server, client uint32, path string) bool {
	if server == 0 || server == client {
		return true
	}
	u, err := user.Lookup(brokerUser)
	return err == nil && u.Uid == strconv.FormatUint(uint64(server), 10) && isRoots(filepath.Dir(path))
}

func isRoots(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && st.Uid == 0 && st.Mode&0o022 == 0
}
