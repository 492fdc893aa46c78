# -config=/etc/leasehold/conf.d reads the files of a directory: what all machines share here, what is of one role in the others.
vault { address = "https://vault.example:8200" }

cache {}
