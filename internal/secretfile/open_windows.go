package secretfile

import (
	"errors"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// OpenFile is os.OpenFile for a system where perm says nothing of others, and a file has the rights that its directory hands down. With os.O_CREATE
// the file, new or not, is left to this process's account, SYSTEM and the Administrators alone; a new one is so from the first moment.
func OpenFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	if flag&os.O_CREATE == 0 {
		return os.OpenFile(name, flag, perm)
	}
	rights, err := ownRights()
	if err == nil {
		err = create(name, rights)
		switch {
		case err == nil:
			flag &^= os.O_CREATE | os.O_EXCL
		case errors.Is(err, fs.ErrExist) && flag&os.O_EXCL == 0:
			err = restrict(name, rights)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return os.OpenFile(name, flag, perm)
}

// ownRights are all rights for three, and no inheritance.
func ownRights() (*windows.SECURITY_DESCRIPTOR, error) {
	me, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return nil, err
	}
	return windows.SecurityDescriptorFromString("D:P(A;;FA;;;SY)(A;;FA;;;BA)(A;;FA;;;" + me.User.Sid.String() + ")")
}

// create makes an empty file, and fails with fs.ErrExist when there is one.
func create(name string, rights *windows.SECURITY_DESCRIPTOR) error {
	path, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return err
	}
	attributes := windows.SecurityAttributes{SecurityDescriptor: rights}
	attributes.Length = uint32(unsafe.Sizeof(attributes))
	file, err := windows.CreateFile(path, windows.GENERIC_WRITE, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, &attributes, windows.CREATE_NEW, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return err
	}
	return windows.CloseHandle(file)
}

func restrict(name string, rights *windows.SECURITY_DESCRIPTOR) error {
	list, _, err := rights.DACL()
	if err != nil {
		return err
	}
	return windows.SetNamedSecurityInfo(name, windows.SE_FILE_OBJECT, windows.DACL_SECURITY_INFORMATION|windows.PROTECTED_DACL_SECURITY_INFORMATION, nil, nil, list, nil)
}
