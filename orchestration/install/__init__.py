"""What is made in the application's database, and unmade: the contract, migrate, rights, doctor, uninstall."""
