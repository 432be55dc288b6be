"""What a study survives: kills, full disks, second writers and arms that diverge."""
