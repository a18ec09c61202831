INSERT INTO user (user_id, user_name) VALUES
(501, 'Alice'),
(502, 'MediaWiki default'),
(503, 'Bob'),
(504, 'Carol'),
(505, 'Mallory'),
(506, 'Dave'),
(507, 'Erin'),
(508, 'Peggy'),
(509, 'Victor'),
(510, 'Hidden'),
(511, 'Zoë Müller 日本'),
(512, 'Newname'),
(513, 'Judy');
INSERT INTO user_groups (ug_user, ug_group, ug_expiry) VALUES
(501, 'bureaucrat', NULL),
(501, 'interface-admin', NULL),
(501, 'sysop', NULL),
(513, 'bot', NULL);
