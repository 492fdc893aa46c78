package seal

// StableClaims is what OpenServiceAccount finds in a token; false means that it takes the whole.
func StableClaims(token string) ([]string, bool) { return stableClaims(token) }
