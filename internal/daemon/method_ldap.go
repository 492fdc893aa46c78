//go:build !no_ldap

package daemon

import (
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/ldap"
)

func init() { methods["ldap"] = newLDAP }

func newLDAP(p methodParts) (autoauth.Method, error) {
	return ldap.New(p.Settings.String("username"), p.Settings.String("password_file_path"), p.log, ldap.Options{
		MountPath:        p.MountPath,
		KeepPasswordFile: !p.Settings.Bool("remove_password_after_reading"),
		FollowSymlinks:   p.Settings.Bool("remove_password_follows_symlinks"),
		Period:           p.Settings.Duration("password_read_period"),
	})
}
