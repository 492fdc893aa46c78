// Package store is the state file: one sealed record per entry, kept across restarts.
//
// The file is a bbolt database. Nothing in it can be read without the key: a record's key is an HMAC of its id, its value is sealed
// together with the format version, the bucket and that key, so that no record can be passed off as another. What shows is how many
// records there are and how long each is. bbolt leaves old bytes in free pages until it uses them again; being sealed, they may stay.
// Someone who can write to the file can bring back an old record or remove one, but not make one.
package store
