//go:build !no_jwt

package daemon

import (
	"leasehold/internal/autoauth"
	"leasehold/internal/autoauth/method/jwt"
)

func init() { methods["jwt"] = newJWT }

func newJWT(p methodParts) (autoauth.Method, error) {
	return jwt.New(p.Settings.String("role"), p.Settings.String("path"), p.log, jwt.Options{
		MountPath:      p.MountPath,
		KeepFile:       !p.Settings.Bool("remove_jwt_after_reading"),
		FollowSymlinks: p.Settings.Bool("remove_jwt_follows_symlinks"),
		Period:         p.Settings.Duration("jwt_read_period"),
	}), nil
}
