// Package aws logs in with what AWS knows of this machine: its IAM credentials, or the identity document of its EC2 instance.
package aws
