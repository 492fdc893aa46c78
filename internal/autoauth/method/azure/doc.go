// Package azure logs in with a token that Microsoft Entra ID issues to the machine, or to what the environment names.
package azure
