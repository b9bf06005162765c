"""Installing into the application's database, and removing from it: the contract, migrate, rights, doctor, uninstall."""
