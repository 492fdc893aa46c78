// Package alicloud logs in with what Alibaba Cloud's Security Token Service says about the credentials of this machine.
package alicloud
